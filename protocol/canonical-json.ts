/** JSON in one form: what is equal has the same text, and so the same hash. */

/**
 * JSON without spaces, the members of objects in the order of their names (UTF-16 code units), as
 * in RFC 8785. Postgres' jsonb keeps neither the order of members nor the spelling of numbers; this
 * text is the same before and after.
 *
 * `value` is plain JSON: strings well-formed, numbers finite. Members that are undefined are left out.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
