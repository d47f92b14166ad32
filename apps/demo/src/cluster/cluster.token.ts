/** The token of the shop's own cluster. */
export const CLUSTER = Symbol('CLUSTER');
