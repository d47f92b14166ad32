import './sdk.cjs';
