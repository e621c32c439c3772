/** Options as people read them, from their JSON schema. */
import { z } from 'zod';
import type { Catalogued } from '../../../protocol/http.js';

export interface OptionRow {
  readonly name: string;
  /** `"tensor" | "model"`, `number > 0`. */
  readonly type: string;
  /** As JSON; empty where there is none. */
  readonly fallback: string;
  readonly required: boolean;
  readonly description: string;
}

const property = z.looseObject({
  type: z.string().optional(),
  enum: z.array(z.json()).optional(),
  const: z.json().optional(),
  default: z.json().optional(),
  description: z.string().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  exclusiveMinimum: z.number().optional(),
  exclusiveMaximum: z.number().optional(),
  get anyOf() {
    return z.array(property).optional();
  },
});
type Property = z.infer<typeof property>;

const schema = z.looseObject({
  properties: z.record(z.string(), property).default({}),
  required: z.array(z.string()).default([]),
});

export function optionRows(options: Catalogued['options']): OptionRow[] {
  const { properties, required } = schema.parse(options);
  return Object.entries(properties).map(([name, option]) => ({
    name,
    type: typeOf(option),
    fallback: option.default === undefined ? '' : JSON.stringify(option.default),
    required: required.includes(name),
    description: option.description ?? '',
  }));
}

function typeOf(option: Property): string {
  if (option.enum) return option.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (option.const !== undefined) return JSON.stringify(option.const);
  if (option.anyOf) return option.anyOf.map(typeOf).join(' | ');
  return [option.type ?? 'anything', boundsOf(option)].filter(Boolean).join(' ');
}

/** JSON schema of a whole number has the bounds of what a double holds: nothing worth saying. */
function boundsOf(option: Property): string {
  const { minimum: atLeast, maximum: atMost, exclusiveMinimum, exclusiveMaximum } = option;
  const said = (sign: string, bound: number | undefined): string[] =>
    bound === undefined || Math.abs(bound) === Number.MAX_SAFE_INTEGER ? [] : [`${sign} ${bound}`];
  return [
    ...said('>=', atLeast),
    ...said('>', exclusiveMinimum),
    ...said('<=', atMost),
    ...said('<', exclusiveMaximum),
  ].join(', ');
}
