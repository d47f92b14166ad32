import { Controller, Get } from '@nestjs/common';

/** What somebody finds who opens the printed address in a browser. */
@Controller()
export class WelcomeController {
  @Get()
  welcome(): Record<string, string> {
    return {
      'GET /products?search=&category=&inStock=&limit=&offset=': 'find products by the words in their names',
      'GET /products/:id': 'read a product',
      'GET /orders/:id': 'read an order with its customer and lines',
      'GET /orders/:id/shipping': 'ask the carrier where it is',
      'POST /orders': 'place an order: { "customerId": 7, "lines": [{ "productId": 11, "quantity": 2 }] }',
      'GET /health': 'whether it can serve; also /health/live and /health/ready',
      'GET /pools': 'the console: the pools, live',
      'GET /metrics': 'what the pools do, for Prometheus',
    };
  }
}
