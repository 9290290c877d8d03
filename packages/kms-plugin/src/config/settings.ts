/**
 * Reads one mapping of a configuration file, field by field, and collects everything that is wrong with it. A field nobody asked for is a
 * mistake: it is named with its path and the field that was probably meant.
 */
import { resolve } from 'node:path';
import { nearest } from './nearest.js';

/** A file that a configuration names. */
export interface NamedFile {
  /** Where the configuration names it, as `keys[0].provider.local.keyringFile`. */
  readonly path: string;
  readonly file: string;
  /** Whether nobody but its owner should read it. */
  readonly secret: boolean;
}

/** What is wrong with a file: one sentence each, beginning with the path. */
export interface Problems {
  readonly found: string[];
  /** Relative paths in the file begin here. */
  readonly folder: string;
  /** What the file names. */
  readonly files: NamedFile[];
}

export interface NumberRange {
  readonly min: number;
  readonly max: number;
}

export class Settings {
  readonly path: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #problems: Problems;
  readonly #known = new Set<string>();

  constructor(value: unknown, path: string, problems: Problems) {
    this.path = path;
    this.#problems = problems;
    const fits = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!fits) problems.found.push(`${path === '' ? 'the file' : path}: expected a mapping.`);
    this.#fields = fits ? (value as Readonly<Record<string, unknown>>) : {};
  }

  /** Tells that this field is wrong. */
  problem(name: string, message: string): undefined {
    this.#problems.found.push(`${this.#at(name)}: ${message}`);
    return undefined;
  }

  text(name: string): string {
    return this.optionalText(name) ?? this.#missing(name) ?? '';
  }

  optionalText(name: string): string | undefined {
    const value = this.#take(name);
    if (value === undefined || (typeof value === 'string' && value !== '')) return value;
    return this.problem(name, 'expected text that is not empty.');
  }

  /** A path, absolute in the answer. */
  file(name: string): string {
    return this.#named(name, this.text(name), false);
  }

  optionalFile(name: string): string | undefined {
    const path = this.optionalText(name);
    return path === undefined ? undefined : this.#named(name, path, false);
  }

  /** As `file`, of a file that others should not read. */
  secretFile(name: string): string {
    return this.#named(name, this.text(name), true);
  }

  optionalSecretFile(name: string): string | undefined {
    const path = this.optionalText(name);
    return path === undefined ? undefined : this.#named(name, path, true);
  }

  flag(name: string): boolean | undefined {
    const value = this.#take(name);
    if (value === undefined || typeof value === 'boolean') return value;
    return this.problem(name, 'expected true or false.');
  }

  wholeNumber(name: string, { min, max }: NumberRange): number | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    return this.problem(name, `expected a whole number from ${min} to ${max}.`);
  }

  choice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    const chosen = choices.find((choice) => choice === value);
    if (chosen !== undefined) return chosen;
    const meant = typeof value === 'string' ? nearest(value, choices) : undefined;
    return this.problem(
      name,
      `expected one of ${choices.join(', ')}${meant === undefined ? '.' : `; did you mean ${meant}?`}`,
    );
  }

  requiredChoice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    return (
      this.choice(name, choices) ?? (Object.hasOwn(this.#fields, name) ? undefined : this.#missing(name))
    );
  }

  /** One text is a list of one. */
  texts(name: string): readonly string[] | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    const list: unknown = typeof value === 'string' ? [value] : value;
    if (Array.isArray(list) && list.every((item) => typeof item === 'string' && item !== '')) return list;
    return this.problem(name, 'expected a list of text.');
  }

  requiredTexts(name: string): readonly string[] {
    const list = this.texts(name);
    if (list === undefined && !Object.hasOwn(this.#fields, name)) this.#missing(name);
    if (list?.length === 0) this.problem(name, 'expected at least one.');
    return list ?? [];
  }

  /** Names and values that are text. */
  map(name: string): Readonly<Record<string, string>> | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const entries = Object.entries(value);
      if (entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) {
        return Object.fromEntries(entries);
      }
    }
    return this.problem(name, 'expected a mapping of text to text; put numbers in quotes.');
  }

  section(name: string): Settings | undefined {
    const value = this.#take(name);
    return value === undefined ? undefined : new Settings(value, this.#at(name), this.#problems);
  }

  requiredSection(name: string): Settings | undefined {
    return this.section(name) ?? this.#missing(name);
  }

  sections(name: string): readonly Settings[] {
    const value = this.#take(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) {
      this.problem(name, 'expected a list.');
      return [];
    }
    return value.map(
      (item: unknown, index) => new Settings(item, `${this.#at(name)}[${index}]`, this.#problems),
    );
  }

  /** The one field of a mapping that says by its name what it is, as in `provider: {aws: …}`. */
  only<const T extends string>(names: readonly T[]): readonly [T, Settings] | undefined {
    const given = Object.keys(this.#fields);
    const [first] = given;
    if (given.length !== 1 || first === undefined) {
      this.#problems.found.push(`${this.path}: expected exactly one of ${names.join(', ')}.`);
      return undefined;
    }
    const name = names.find((known) => known === first);
    if (name === undefined) {
      const meant = nearest(first, names);
      this.problem(
        first,
        `unknown; expected one of ${names.join(', ')}${meant === undefined ? '.' : `; did you mean ${meant}?`}`,
      );
      return undefined;
    }
    // `local:` with nothing behind it is a mapping without fields.
    return [name, new Settings(this.#take(name) ?? {}, this.#at(name), this.#problems)];
  }

  /** The fields as they are written, for telling whether anything changed. */
  textOf(names: readonly string[]): string {
    return JSON.stringify(names.map((name) => this.#fields[name] ?? null));
  }

  /** To be called when every field has been asked for. */
  end(): void {
    for (const name of Object.keys(this.#fields)) {
      if (this.#known.has(name)) continue;
      if (this.#known.has(`${name}File`)) {
        this.problem(
          name,
          `secrets do not belong in this file; put it into a file of its own and name that with ${name}File.`,
        );
        continue;
      }
      const meant = nearest(name, [...this.#known]);
      this.problem(name, `unknown field${meant === undefined ? '.' : `; did you mean ${meant}?`}`);
    }
  }

  #named(name: string, path: string, secret: boolean): string {
    const file = resolve(this.#problems.folder, path);
    if (path !== '') this.#problems.files.push({ path: this.#at(name), file, secret });
    return file;
  }

  #at(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  /** A field that is there without a value is as good as absent. */
  #take(name: string): unknown {
    this.#known.add(name);
    return Object.hasOwn(this.#fields, name) ? (this.#fields[name] ?? undefined) : undefined;
  }

  #missing(name: string): undefined {
    // A value of the wrong kind has been told already.
    if ((this.#fields[name] ?? undefined) === undefined) this.problem(name, 'is missing.');
    return undefined;
  }
}

/** Drops what was not given, so that defaults apply. */
export function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
