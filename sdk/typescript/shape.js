// What a value must look like, and where it does not.
//
// A shape is a literal (equal), an array (place by place), an object (exactly these keys), or one of the rules below.
// Nothing is compared loosely unless a rule says so: a key too many is a difference as a missing one is.
// @ts-check

/** @typedef {{ place: string, expected: unknown, got: unknown }} Difference */

class Rule {
  /**
   * @param {string} name
   * @param {(value: any, place: string) => Difference[]} compare
   * @param {boolean} [mayBeAbsent]
   */
  constructor(name, compare, mayBeAbsent = false) {
    this.name = name;
    this.compare = compare;
    this.mayBeAbsent = mayBeAbsent;
  }

  /** How it is shown beside what was got. */
  toJSON() {
    return `<${this.name}>`;
  }
}

/**
 * A value that passes a test.
 * @param {string} name
 * @param {(value: any) => boolean} test
 * @returns {any}
 */
export function a(name, test) {
  /** @type {Rule} */
  const rule = new Rule(name, (got, place) => (test(got) ? [] : [{ place, expected: rule, got }]));
  return rule;
}

/**
 * A text that matches.
 * @param {string} name
 * @param {RegExp} pattern
 */
export const like = (name, pattern) => a(name, (value) => typeof value === 'string' && pattern.test(value));

/** @param {string} part */
export const containing = (part) =>
  a(`text with ${part}`, (value) => typeof value === 'string' && value.includes(part));

/** @param {string} start */
export const startingWith = (start) =>
  a(`text that starts ${start}`, (value) => typeof value === 'string' && value.startsWith(start));

/** The same elements, in whatever order. @param {unknown[]} elements */
export const inAnyOrder = (...elements) =>
  a(`in any order ${JSON.stringify(elements)}`, (value) => {
    if (!Array.isArray(value) || value.length !== elements.length) return false;
    const rest = [...value];
    return elements.every((element) => {
      const found = rest.findIndex((other) => compare(element, other).length === 0);
      return found >= 0 && rest.splice(found, 1).length === 1;
    });
  });

/** Anything, as long as it is there. */
export const anything = a('anything', (value) => value !== undefined);

/** A key that must not be there. @type {any} */
export const absent = new Rule(
  'absent',
  (got, place) => (got === undefined ? [] : [{ place, expected: absent, got }]),
  true,
);

/** A key that may be missing, and has this shape otherwise. @param {any} shape @returns {any} */
export const optional = (shape) =>
  new Rule(
    `optional ${JSON.stringify(shape)}`,
    (got, place) => (got === undefined ? [] : compare(shape, got, place)),
    true,
  );

/** An object with at least these keys. @param {Record<string, any>} shape @returns {any} */
export const including = (shape) =>
  new Rule(`with ${JSON.stringify(shape)}`, (got, place) => compareKeys(shape, got, place, Object.keys(shape)));

/** A list whose elements all have this shape. @param {any} shape @returns {any} */
export const listOf = (shape) =>
  new Rule(`list of ${JSON.stringify(shape)}`, (got, place) =>
    Array.isArray(got)
      ? got.flatMap((element, index) => compare(shape, element, `${place}[${index}]`))
      : [{ place, expected: 'a list', got }],
  );

export const uuid = like('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
export const time = like('time with milliseconds', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
export const text = a('text', (value) => typeof value === 'string' && value.length > 0);
export const count = a('whole number', (value) => Number.isInteger(value) && value >= 0);

/**
 * Where `got` is not what `expected` says.
 * @param {any} expected
 * @param {any} got
 * @param {string} [place]
 * @returns {Difference[]}
 */
export function compare(expected, got, place = 'body') {
  if (expected instanceof Rule) return expected.compare(got, place);
  if (Array.isArray(expected)) {
    if (!Array.isArray(got) || got.length !== expected.length) return [{ place, expected, got }];
    return expected.flatMap((element, index) => compare(element, got[index], `${place}[${index}]`));
  }
  if (expected !== null && typeof expected === 'object') {
    const keys = got !== null && typeof got === 'object' ? Object.keys(got) : [];
    return compareKeys(expected, got, place, new Set([...Object.keys(expected), ...keys]));
  }
  return Object.is(expected, got) ? [] : [{ place, expected, got }];
}

/**
 * @param {Record<string, any>} expected
 * @param {any} got
 * @param {string} place
 * @param {Iterable<string>} keys
 * @returns {Difference[]}
 */
function compareKeys(expected, got, place, keys) {
  if (got === null || typeof got !== 'object' || Array.isArray(got)) return [{ place, expected, got }];
  return [...keys].flatMap((key) => {
    const shape = Object.hasOwn(expected, key) ? expected[key] : absent;
    if (!Object.hasOwn(got, key) && !(shape instanceof Rule && shape.mayBeAbsent)) {
      return [{ place: `${place}.${key}`, expected: shape, got: absent }];
    }
    return compare(shape, got[key], `${place}.${key}`);
  });
}
