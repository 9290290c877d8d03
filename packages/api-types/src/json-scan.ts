/**
 * A second look at JSON text that builds nothing: which fields occur twice, and where text stops being JSON.
 *
 * Iterative, so no nesting exhausts the stack. Grammar: RFC 8259.
 */

interface JsonFault {
  /** Byte offset of the first byte that cannot continue a JSON text. */
  readonly offset: number;
  readonly message: string;
}

export interface JsonScan {
  readonly duplicates: string[];
  readonly fault: JsonFault | undefined;
}

/** A document with more is answered with the first so many. */
const maxDuplicates = 100;

interface Level {
  readonly keys: Set<string> | undefined;
  /** Key or index being read. */
  key: string;
  index: number;
}

type Expect = 'value' | 'value-or-end' | 'key' | 'key-or-end' | 'colon' | 'comma-or-end' | 'nothing';

const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const quote = 0x22;
const backslash = 0x5c;
const word = /true|false|null/y;

class JsonScanner {
  readonly #text: string;
  readonly #wantDuplicates: boolean;
  readonly #duplicates = new Set<string>();
  readonly #levels: Level[] = [];
  #expect: Expect = 'value';
  #at = 0;

  constructor(text: string, wantDuplicates: boolean) {
    this.#text = text;
    this.#wantDuplicates = wantDuplicates;
  }

  scan(): JsonScan {
    for (;;) {
      while (isSpace(this.#text.charCodeAt(this.#at))) this.#at++;
      const char = this.#text[this.#at];
      if (char === undefined) {
        const message = 'unexpected end of JSON input';
        return this.#result(this.#expect === 'nothing' ? undefined : message);
      }
      const message = this.#step(char);
      if (message !== undefined) return this.#result(message);
    }
  }

  #result(message: string | undefined): JsonScan {
    const offset = Buffer.byteLength(this.#text.slice(0, this.#at));
    return {
      duplicates: [...this.#duplicates],
      fault: message === undefined ? undefined : { offset, message },
    };
  }

  /** Consumes one token; a string says what is wrong with it. */
  #step(char: string): string | undefined {
    const expect = this.#expect;
    const level = this.#levels.at(-1);
    if ((char === '}' || char === ']') && this.#mayEnd(char, level)) {
      this.#levels.pop();
      this.#at++;
      this.#afterValue();
      return undefined;
    }
    switch (expect) {
      case 'nothing':
        return 'unexpected text after the value';
      case 'colon':
        return this.#punctuation(char, ':', 'value', 'expected ":" after a field name');
      case 'comma-or-end': {
        if (level !== undefined && level.keys === undefined) level.index++;
        const next = level?.keys === undefined ? 'value' : 'key';
        return this.#punctuation(char, ',', next, 'expected "," or the end of the object or array');
      }
      case 'key':
      case 'key-or-end':
        return this.#key(level);
      default:
        return this.#value(char);
    }
  }

  #mayEnd(char: string, level: Level | undefined): boolean {
    if (level === undefined) return false;
    const isObject = level.keys !== undefined;
    const may =
      this.#expect === 'comma-or-end' || this.#expect === (isObject ? 'key-or-end' : 'value-or-end');
    return may && (char === '}') === isObject;
  }

  #punctuation(char: string, want: string, next: Expect, message: string): string | undefined {
    if (char !== want) return message;
    this.#at++;
    this.#expect = next;
    return undefined;
  }

  #key(level: Level | undefined): string | undefined {
    const token = this.#string();
    if (token === undefined || level?.keys === undefined) return 'expected a field name in double quotes';
    level.key = token.includes('\\') ? String(JSON.parse(token)) : token.slice(1, -1);
    if (this.#wantDuplicates) {
      if (level.keys.has(level.key) && this.#duplicates.size < maxDuplicates)
        this.#duplicates.add(this.#path());
      level.keys.add(level.key);
    }
    this.#expect = 'colon';
    return undefined;
  }

  #value(char: string): string | undefined {
    if (char === '{' || char === '[') {
      this.#levels.push({ keys: char === '{' ? new Set() : undefined, key: '', index: 0 });
      this.#expect = char === '{' ? 'key-or-end' : 'value-or-end';
      this.#at++;
      return undefined;
    }
    if (char === '"') {
      if (this.#string() === undefined)
        return 'a string is not closed, or holds an illegal escape or control character';
    } else if (this.#match(number) === undefined && this.#match(word) === undefined) {
      return 'expected a value';
    }
    this.#afterValue();
    return undefined;
  }

  #afterValue(): void {
    this.#expect = this.#levels.length === 0 ? 'nothing' : 'comma-or-end';
  }

  /** By hand: a regular expression would keep a stack as long as the string. */
  #string(): string | undefined {
    const text = this.#text;
    if (text[this.#at] !== '"') return undefined;
    for (let at = this.#at + 1; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === quote) {
        const token = text.slice(this.#at, at + 1);
        this.#at = at + 1;
        return token;
      }
      if (code < 0x20) return undefined;
      if (code !== backslash) continue;
      escape.lastIndex = at;
      const length = escape.exec(text)?.[0].length;
      if (length === undefined) return undefined;
      at += length - 1;
    }
    return undefined;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const token = pattern.exec(this.#text)?.[0];
    if (token !== undefined) this.#at += token.length;
    return token;
  }

  #path(): string {
    let path = '';
    for (const level of this.#levels) {
      if (level.keys === undefined) path += `[${level.index}]`;
      else path += path === '' ? level.key : `.${level.key}`;
    }
    return path;
  }
}

/** RFC 8259 §2: space, tab, line feed, carriage return. */
function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

export function scanJson(bytes: Buffer, wantDuplicates: boolean): JsonScan {
  return new JsonScanner(bytes.toString('utf8'), wantDuplicates).scan();
}
