import type { Loader } from './loader.ts';
import type { Result } from './report.ts';
import type { Scale } from './scale.ts';
import type { Scope } from './scope.ts';
import type { Stage } from './stage.ts';

/** What every scenario gets. What it starts it starts in its scope, which is closed when it ends. */
export type Bench = {
  scope: Scope;
  /** Shared by the scenarios; who needs one in a known state opens another. */
  stage: Stage;
  loader: Loader;
  scale: Scale;
  /** A sentence for the report: what was left out, and why. */
  note: (sentence: string) => void;
};

/** Yields results as they are known, so that what fails later does not take them along. */
export type Scenario = (bench: Bench) => AsyncGenerator<Result, void>;
