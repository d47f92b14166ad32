import { Controller, Get, Injectable, Query } from '@nestjs/common';
import { sql, type Kysely } from 'kysely';
import { DatabasePool, HttpClient, InjectDb, InjectDbPool, InjectHttpClient } from 'nestjs-pooling';

/** A service with the mistakes that troubleshooting is about. */
@Injectable()
export class OrdersService {
  constructor(
    @InjectDb() private readonly db: Kysely<unknown>,
    @InjectDbPool() private readonly pool: DatabasePool,
    @InjectHttpClient() private readonly http: HttpClient,
  ) {}

  /** Takes its time on the server. */
  async report(seconds: number): Promise<void> {
    await sql`select pg_sleep(${seconds}), 'yearly report' as name`.execute(this.db);
  }

  async list(): Promise<void> {
    await sql`select 1 as orders`.execute(this.db);
  }

  /** Forgets to give its connection back. */
  async exportAll(): Promise<void> {
    const client = await this.pool.connect();
    this.forgotten.push(client, await client.query('select * from generate_series(1, 3) as orders'));
  }

  /** Ends what `pay` has begun. */
  finish: () => Promise<void> = () => Promise.resolve();

  /** Begins a transaction and goes on to something else. */
  async pay(): Promise<void> {
    const client = await this.pool.connect();
    await client.query('begin');
    await client.query('select 1 as stock');
    this.finish = async () => {
      await client.query('rollback');
      client.release();
    };
  }

  /** Looks at the status only, and leaves the body. */
  async track(url: string): Promise<number> {
    const answer = await this.http.stream(url);
    this.forgotten.push(answer);
    return answer.statusCode;
  }

  /** Nobody gives them back or reads them, and the garbage collector doesn't get them either. */
  private readonly forgotten: unknown[] = [];
}

@Controller('orders')
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get('export')
  exportAll(): Promise<void> {
    return this.orders.exportAll();
  }

  @Get('pay')
  pay(): Promise<void> {
    return this.orders.pay();
  }

  @Get('track')
  track(@Query('parcel') parcel: string): Promise<number> {
    return this.orders.track(parcel);
  }

  @Get('report')
  report(@Query('seconds') seconds: string): Promise<void> {
    return this.orders.report(Number(seconds));
  }

  @Get()
  list(): Promise<void> {
    return this.orders.list();
  }
}
