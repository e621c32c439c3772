import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** core is pure: no clock, no randomness, and no maths whose last bit differs between engines. */
const impure = [
  ...[
    'exp',
    'expm1',
    'log',
    'log1p',
    'log2',
    'log10',
    'pow',
    'sin',
    'cos',
    'tan',
    'tanh',
    'sinh',
    'cosh',
    'cbrt',
    'hypot',
    'atan',
    'atan2',
    'random',
  ].map((property) => ({
    object: 'Math',
    property,
    message: `Math.${property} is not reproducible across engines: use core/math.ts or core/random.ts.`,
  })),
  { object: 'Date', property: 'now', message: 'core has no clock: take the time as a value.' },
];

export default tseslint.config(
  {
    ignores: [
      ...['dist', 'node_modules', 'server/adapters/generated', 'docs/images', '.cache'],
      'server/adapters/wasm-kernels/assembly', // AssemblyScript: its own compiler checks it
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      'max-lines': ['warn', { max: 400, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: ['server/core/**/*.ts'],
    rules: {
      'no-restricted-properties': ['error', ...impure],
      'no-restricted-syntax': [
        'error',
        {
          selector: "BinaryExpression[operator='**']",
          message: '** is Math.pow: use core/math.ts.',
        },
        {
          selector: "NewExpression[callee.name='Date']",
          message: 'core has no clock: take the time as a value.',
        },
      ],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
);
