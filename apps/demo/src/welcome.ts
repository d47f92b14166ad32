/** What is printed when everything runs: where it is, and what to try. */
export function welcome(addresses: { shop: string; carrier: string; database: string; traced: boolean }): string {
  const { shop, carrier, database, traced } = addresses;
  const traces = traced ? `\n  traces    ${shop}/traces` : '';
  return `
  shop      ${shop}
  carrier   ${carrier}
  console   ${shop}/pools${traces}
  database  ${database}

  Try:
    curl '${shop}/products?search=oak+lamp'
    curl ${shop}/orders/42
    curl ${shop}/orders/42/shipping
    curl ${shop}/orders -H 'content-type: application/json' -d '{"customerId":7,"lines":[{"productId":11,"quantity":2}]}'
    curl ${shop}/orders -H 'content-type: application/json' -d '{"customerId":"me","lines":[]}'
    curl ${shop}/health
    curl -s ${shop}/metrics | grep pool_
    npm run load

  Break the carrier, and mend it:
    curl -X PUT ${carrier}/conditions -H 'content-type: application/json' -d '{"condition":"failing"}'
    curl -i ${shop}/orders/42/shipping
    curl -X PUT ${carrier}/conditions -H 'content-type: application/json' -d '{"condition":"normal"}'
`;
}
