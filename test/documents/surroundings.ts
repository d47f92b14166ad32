/**
 * What the fragments of the documents and of the doc comments are about, and doesn't stand in each of them: the packages'
 * names, and the things of one small shop.
 */
import type { CanActivate, INestApplication } from '@nestjs/common';
import type { Kysely } from 'kysely';
import type {
  DatabaseOptions,
  DatabasePool,
  HttpClient,
  HttpClientOptions,
  HttpClientOptionsFactory,
} from 'nestjs-pooling';
import type { AnyRouter as Router } from '@trpc/server';
import type { PostgresServer, TcpProxy } from 'nestjs-pooling/testing';

export * from 'nestjs-pooling';
export * from 'nestjs-pooling/testing';
export {
  BadGatewayException,
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  NotFoundException,
  Param,
  ParseIntPipe,
  ServiceUnavailableException,
  SetMetadata,
} from '@nestjs/common';
export { NestFactory } from '@nestjs/core';
export { HealthCheck, HealthCheckService } from '@nestjs/terminus';
export { Test } from '@nestjs/testing';
export { SkipThrottle } from '@nestjs/throttler';
export { Kysely, sql } from 'kysely';
export { Pool } from 'pg';
export { subscribe } from 'node:diagnostics_channel';

export interface Database {
  orders: { id: number; item: string; total: number; paid: boolean };
  accounts: { id: number; balance: number };
  events: { id: number; tenant: string };
}
export interface Label {
  id: number;
}
export interface Parcel {
  id: number;
}
export interface Invoice {
  id: number;
}
export interface Shipment {
  status: string;
}

/** A Nest application. */
export declare const app: INestApplication;
export declare const db: Kysely<Database>;
export declare const replicaDb: Kysely<Database>;
export declare const token: string | undefined;
export declare const pool: DatabasePool;
export declare const http: HttpClient;
export declare const server: PostgresServer;
export declare const proxy: TcpProxy;
export declare const id: number;
export declare const tenant: string;
export declare const baseUrl: string;
export declare const url: string;
export declare const key: string;
export declare const apiKey: string;
export declare const auth: string;
export declare const prefixUrl: string;
export declare const fakeDb: Kysely<Database>;
export declare const fakeCarrier: HttpClient;

/** The types that generators make of an API. */
export type paths = Record<string, never>;
export type AppRouter = Router;

/** An application of Nest, and what it has of its own. */
export declare class AppModule {}
export declare class OrdersService {}
export declare class ConfigModule {}
export declare class ConfigService {
  getOrThrow(name: string): string;
}
export declare class Settings {
  readonly archive: DatabaseOptions;
}
export declare class CarrierOptions implements HttpClientOptionsFactory {
  createHttpClientOptions(): HttpClientOptions;
}
export declare class StaffGuard implements CanActivate {
  canActivate(): boolean;
}
export declare function Public(): ClassDecorator & MethodDecorator;
export declare const tracer: { annotate(text: string, error: Error): void };
