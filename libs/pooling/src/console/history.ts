/** The latest numbers of a fixed set of fields, in memory that is taken once: old ones are overwritten. */
export class History<Field extends string> {
  readonly #fields: readonly Field[];
  readonly #length: number;
  readonly #columns: Float64Array;
  #next = 0;
  #count = 0;

  /** @param length - how many rows it keeps. */
  constructor(fields: readonly Field[], length: number) {
    this.#fields = fields;
    this.#length = length;
    this.#columns = new Float64Array(fields.length * length);
  }

  /** Adds one row. */
  push(row: Readonly<Record<Field, number>>): void {
    for (let field = 0; field < this.#fields.length; field++) {
      this.#columns[field * this.#length + this.#next] = row[this.#fields[field] as Field];
    }
    this.#next = (this.#next + 1) % this.#length;
    this.#count = Math.min(this.#count + 1, this.#length);
  }

  /** How many rows it holds. */
  get count(): number {
    return this.#count;
  }

  /** Each field's numbers, oldest first. Fields that were always 0 are left out: most close reasons never occur. */
  columns(): Partial<Record<Field, number[]>> {
    const columns: Partial<Record<Field, number[]>> = {};
    for (let field = 0; field < this.#fields.length; field++) {
      const column = this.#columns.subarray(field * this.#length, (field + 1) * this.#length);
      if (column.every((value) => value === 0)) continue;
      const start = this.#count < this.#length ? 0 : this.#next;
      columns[this.#fields[field] as Field] = [...column.subarray(start, this.#count), ...column.subarray(0, start)];
    }
    return columns;
  }
}
