import { capital } from './format';

const BOUND = /^Expected `(\w+)`(?: of length)? ([<>]=) (\d+)/;

/** A refusal's words below the field that it is about: `ring_s: Expected `int` >= 5 ...` -> `At least 5`. */
export function faultOf(field: string, detail: string): string {
  const said = detail.startsWith(`${field}: `) ? detail.slice(field.length + 2) : detail;
  const [, kind, bound, limit] = BOUND.exec(said) ?? [];
  if (bound === undefined) return capital(said.replace(/^(is|names|holds) /, 'It $1 '));
  const unit = kind === 'str' ? ' characters' : kind === 'array' ? ' of them' : '';
  return `${bound === '>=' ? 'At least' : 'At most'} ${limit}${unit}`;
}
