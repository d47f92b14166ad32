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

/** What else there is to try where the shop has a cluster of its own. */
export function breakTheCluster(shop: string): string {
  const change = (name: string, action: string): string => `    curl -X POST ${shop}/cluster/${name}/${action}`;
  const placed = `${shop}/orders -H 'content-type: application/json' -d '{"customerId":7,"lines":[{"productId":11,"quantity":1}]}'`;
  const order = `    curl -i ${placed}`;
  return `
  Let the standbys, which products and orders are read from, fall five seconds behind, and place an order. The answer shows it;
  the stock of the product is less at once for whoever brings along what the order has set, and for others five seconds later:
${change('db2', 'delay')}
${change('db3', 'delay')}
    curl -c jar.txt ${placed}
    curl -b jar.txt ${shop}/products/11
    curl ${shop}/products/11
    curl -s ${shop}/metrics | grep ^db_pool_replica
${change('db2', 'keep-up')}
${change('db3', 'keep-up')}

  Kill the primary, promote a standby, and take the old one back, while npm run load runs:
    curl ${shop}/cluster
${change('db1', 'kill')}
${change('db2', 'promote')}
${order}
${change('db1', 'rejoin')}

  Freeze the primary, promote another one, and wake it: two take writes, and the shop keeps to the new one:
${change('db2', 'freeze')}
${change('db3', 'promote')}
${order}
${change('db2', 'resume')}
${change('db2', 'rejoin')}
`;
}
