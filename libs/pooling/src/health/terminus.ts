import { optionalPackage, type OptionalPackage } from '../core/optional-package.js';
import { loadTerminus } from './terminus-package.cjs';

type Terminus = typeof import('@nestjs/terminus');

/** Terminus: an application with `health: false` needs none. */
export const terminusPackage: OptionalPackage<Terminus> = optionalPackage<Terminus>('@nestjs/terminus', loadTerminus());

/** What Terminus exports. */
export const terminus: Terminus = terminusPackage.module;
