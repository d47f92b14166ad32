import { Module, type DynamicModule } from '@nestjs/common';
import type { PostgresCluster } from 'nestjs-pooling/testing';
import { ClusterController } from './cluster.controller.js';
import { CLUSTER } from './cluster.token.js';

@Module({})
export class ClusterModule {
  static forRoot(cluster: PostgresCluster): DynamicModule {
    return {
      module: ClusterModule,
      controllers: [ClusterController],
      providers: [{ provide: CLUSTER, useValue: cluster }],
    };
  }
}
