import type { HistogramSnapshot } from '../core/histogram.js';
import type { MetricsSnapshot } from './metrics-source.js';
import { histogramSamples, type Labels, type Sample } from './samples.js';

/** A metric's kind, as Prometheus names it. */
export type MetricType = 'gauge' | 'counter' | 'histogram';

/** All series of one name: what they are called and where their values are in a snapshot. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly samples: (snapshot: MetricsSnapshot) => Iterable<Sample>;
}

/** Reads the value of one series. */
type Reader<Subject, Value> = (subject: Subject) => Value;

/** The subjects of a family's series, each with its labels. */
export type Subjects<Subject> = (snapshot: MetricsSnapshot) => Iterable<readonly [Labels, Subject]>;

/** Makes the families of one kind of subject. */
export class FamilyMaker<Subject> {
  constructor(private readonly subjects: Subjects<Subject>) {}

  /** A level; a subject without one has no series. */
  gauge(name: string, help: string, read: Reader<Subject, number | undefined>): MetricFamily {
    return this.#numbers('gauge', name, help, read);
  }

  /** Levels by further labels. */
  gauges(
    name: string,
    help: string,
    read: Reader<Subject, Iterable<readonly [further: Labels, value: number]>>,
  ): MetricFamily {
    const subjects = this.subjects;
    return {
      name,
      help,
      type: 'gauge',
      *samples(snapshot) {
        for (const [labels, subject] of subjects(snapshot)) {
          for (const [further, value] of read(subject)) yield { labels: { ...labels, ...further }, value };
        }
      },
    };
  }

  /** A count that only grows. */
  counter(name: string, help: string, read: Reader<Subject, number | undefined>): MetricFamily {
    return this.#numbers('counter', name, help, read);
  }

  /** Counts by a further label, whose values are few and known. */
  counters(
    name: string,
    help: string,
    label: string,
    read: Reader<Subject, Readonly<Record<string, number>>>,
  ): MetricFamily {
    const subjects = this.subjects;
    return {
      name,
      help,
      type: 'counter',
      *samples(snapshot) {
        for (const [labels, subject] of subjects(snapshot)) {
          for (const [labelValue, value] of Object.entries(read(subject))) {
            yield { labels: { ...labels, [label]: labelValue }, value };
          }
        }
      },
    };
  }

  /** Durations. */
  histogram(name: string, help: string, read: Reader<Subject, HistogramSnapshot>): MetricFamily {
    return this.histograms(name, help, (subject) => [[{}, read(subject)]]);
  }

  /** Durations by further labels. */
  histograms(
    name: string,
    help: string,
    read: Reader<Subject, Iterable<readonly [Labels, HistogramSnapshot]>>,
  ): MetricFamily {
    const subjects = this.subjects;
    return {
      name,
      help,
      type: 'histogram',
      *samples(snapshot) {
        for (const [labels, subject] of subjects(snapshot)) {
          for (const [further, histogram] of read(subject)) {
            yield* histogramSamples(name, { ...labels, ...further }, histogram);
          }
        }
      },
    };
  }

  #numbers(type: MetricType, name: string, help: string, read: Reader<Subject, number | undefined>): MetricFamily {
    const subjects = this.subjects;
    return {
      name,
      help,
      type,
      *samples(snapshot) {
        for (const [labels, subject] of subjects(snapshot)) {
          const value = read(subject);
          if (value !== undefined) yield { labels, value };
        }
      },
    };
  }
}
