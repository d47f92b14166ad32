import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity('orders')
export class Order {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  item!: string;
}
