/** The schemas of bodies and answers as components of the OpenAPI document: JSON Schema 2020-12. */
import { z } from 'zod';
import { answerSchemas, bodySchemas } from '../../../protocol/api.js';
import type { Json } from '../../core/rules/rule.js';

type Name = keyof typeof answerSchemas | keyof typeof bodySchemas;
export type JsonObject = Readonly<Record<string, Json>>;

export function reference(name: Name | 'Json'): { readonly $ref: string } {
  return { $ref: `#/components/schemas/${name}` };
}

/** A body may leave out what has a default; in an answer it is filled in. */
export function componentSchemas(): JsonObject {
  const anything: JsonObject = { description: 'Any JSON value' };
  return {
    ...converted(answerSchemas, 'output'),
    ...converted(bodySchemas, 'input'),
    Json: anything,
  };
}

function converted(schemas: Readonly<Record<string, z.ZodType>>, io: 'input' | 'output') {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const uri = (id: string): string => `#/components/schemas/${id}`;
  const all = z.toJSONSchema(registry, { uri, io }).schemas;
  const tidy = Object.entries(all)
    .filter(([name]) => name !== SHARED)
    .map(([name, schema]) => [name, tidied(schema as JsonObject, io)] as const);
  return Object.fromEntries(tidy);
}

/** Where zod puts what refers to itself. With us that is `z.json()` and nothing else (tested). */
const SHARED = '__shared';

/** Without what only readers of zod's code have a use for. */
function tidied(value: Json, io: 'input' | 'output'): Json {
  if (Array.isArray(value)) return value.map((item: Json) => tidied(item, io));
  if (typeof value !== 'object' || value === null) return value;
  const schema = value as JsonObject;
  if (typeof schema.$ref === 'string' && schema.$ref.includes(SHARED)) return reference('Json');
  const members = Object.entries(schema)
    .filter(([name, member]) => !isNoise(name, member, schema, io))
    .map(([name, member]) => [name, tidied(member, io)] as const);
  return Object.fromEntries(members);
}

function isNoise(name: string, value: Json, schema: JsonObject, io: 'input' | 'output'): boolean {
  if (name === '$schema' || name === '$id') return true;
  if (name === 'pattern') return schema.format === 'date-time';
  if (name === 'minimum' || name === 'maximum') {
    return Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER;
  }
  // A later version may answer more, and those who read it must not break.
  return name === 'additionalProperties' && value === false && io === 'output';
}
