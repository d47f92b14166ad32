await import('./by-hand.cjs');
