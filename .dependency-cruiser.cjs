/**
 * Imports go one way (docs/architecture.md):
 * protocol <- core <- engine <- adapters <- app <- main, cli; client and dashboard know protocol only.
 */
const only = (name, from, allowed, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { path: '^(protocol|server|client)/', pathNot: allowed },
});

/** Layers by their folder; what each may import beside itself. */
const PROTOCOL = '^protocol/';
const CORE = '^server/core/';
const ENGINE = '^server/engine/';
const ADAPTERS = '^server/adapters/';
const SIMULATION = '^server/simulation/';
const CLIENT = '^client/';
const APP = '^server/(app|config|index|settings|version)\\.ts$';

module.exports = {
  forbidden: [
    only('protocol-stands-alone', PROTOCOL, [PROTOCOL], 'The wire contract imports only zod.'),
    only('core-is-pure', CORE, [PROTOCOL, CORE], 'core knows the protocol and itself.'),
    only(
      'engine-knows-core',
      ENGINE,
      [PROTOCOL, CORE, ENGINE, '^server/version\\.ts$'],
      'Adapters are handed to the engine.',
    ),
    only(
      'adapters-know-engine',
      '^server/adapters/(?!tfjs-oracle)',
      [PROTOCOL, CORE, ENGINE, ADAPTERS, '^server/version\\.ts$'],
      'Adapters never reach up.',
    ),
    only(
      'oracle-may-use-tfjs',
      '^server/adapters/tfjs-oracle',
      [PROTOCOL, CORE, ENGINE, ADAPTERS, '^client/tfjs/'],
      'The proxy oracle computes with the client SDK.',
    ),
    only(
      'simulation-is-in-memory',
      SIMULATION,
      [
        PROTOCOL,
        CORE,
        ENGINE,
        SIMULATION,
        CLIENT,
        '^server/adapters/(?!prisma|postgres|http|socket|generated)',
      ],
      'Simulation uses the engine with in-memory adapters.',
    ),
    only(
      'app-composes',
      APP,
      [PROTOCOL, CORE, ENGINE, ADAPTERS, APP],
      'The composition root does not know commands.',
    ),
    only(
      'client-knows-protocol',
      CLIENT,
      [PROTOCOL, CLIENT],
      'The SDK knows the wire contract only.',
    ),
    only(
      'dashboard-knows-protocol',
      '^server/dashboard/',
      [PROTOCOL, '^server/dashboard/', '^client/browser/'],
      'Pages talk to the coordinator as any peer does.',
    ),
    {
      name: 'protocol-imports-zod-only',
      severity: 'error',
      from: { path: PROTOCOL },
      to: { dependencyTypes: ['npm', 'npm-dev', 'core'], pathNot: 'node_modules/zod/' },
    },
    {
      name: 'core-has-no-io',
      severity: 'error',
      from: { path: CORE },
      to: {
        dependencyTypes: ['npm', 'npm-dev', 'core'],
        pathNot: 'node_modules/(zod|@noble/hashes)/',
      },
    },
    {
      name: 'nobody-imports-their-own-barrel',
      severity: 'error',
      from: { path: '^(protocol|client|server)/', pathNot: 'index\\.ts$' },
      to: { path: '^(protocol|client|server)/index\\.ts$' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: '(\\.d\\.ts|global-setup\\.ts|\\.test\\.ts)$' },
      to: {},
    },
    {
      name: 'no-unlisted',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'shipped-code-uses-shipped-packages',
      severity: 'error',
      from: { path: '^(protocol|server|client)/' },
      to: { dependencyTypes: ['npm-dev'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|generated|assembly)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
