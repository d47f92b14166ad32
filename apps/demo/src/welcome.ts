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
  const order = `    curl -i ${shop}/orders -H 'content-type: application/json' -d '{"customerId":7,"lines":[{"productId":11,"quantity":1}]}'`;
  return `
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
