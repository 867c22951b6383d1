// What the viewer sees when the page opens: who they are, and something that the examples can be about.
import { ask } from './fetcher';

export interface Viewer {
  username: string;
  role: string;
}

interface Option {
  value: string;
}

interface Question {
  name: string;
  type: 'TEXT' | 'RATING' | 'LABEL' | 'MULTI_LABEL' | 'RANKING' | 'SPAN';
  required: boolean;
  settings: { min?: number; field?: string; options?: Option[]; labels?: Option[] };
}

interface Record_ {
  id: string;
  fields: Record<string, unknown>;
}

interface Dataset {
  id: string;
  questions: Question[];
  pending: { nodes: Record_[] };
  any: { nodes: Record_[] };
}

interface Task {
  id: string;
  metrics: { name: string }[];
}

export interface Book {
  viewer: Viewer | null;
  dataset?: Dataset;
  record?: Record_;
  /** An answer to every question of the dataset. */
  values: Record<string, unknown>;
  /** The newest, newest first. */
  tasks: Task[];
  /** What the newest reports. */
  metrics: string[];
}

interface Page {
  demo: { nodes: Dataset[] };
  any: { nodes: Dataset[] };
  tasks: { nodes: Task[] };
}

const QUERY = `query Page {
  viewer { username role }
  demo: datasets(first: 1, where: {name: {eq: "demo"}}) { nodes { ...dataset } }
  any: datasets(first: 1) { nodes { ...dataset } }
  tasks: trainTasks(first: 3, orderBy: [{field: CREATED_AT, direction: DESC}]) { nodes { id metrics { name } } }
}
fragment dataset on Dataset {
  id
  questions { name type required settings }
  pending: records(first: 1, where: {status: {eq: PENDING}}) { nodes { id fields } }
  any: records(first: 1) { nodes { id fields } }
}`;

/** Nobody and nothing, when nobody is signed in. */
export async function readBook(): Promise<Book> {
  const { viewer } = await ask<{ viewer: Viewer | null }>('query Viewer { viewer { username role } }');
  if (!viewer) return { viewer, values: {}, tasks: [], metrics: ['loss'] };
  const { demo, any, tasks } = await ask<Page>(QUERY);
  const dataset = demo.nodes[0] ?? any.nodes[0];
  const record = dataset?.pending.nodes[0] ?? dataset?.any.nodes[0];
  const values = Object.fromEntries((dataset?.questions ?? []).map((one) => [one.name, answer(one, record)]));
  const reported = tasks.nodes[0]?.metrics ?? [];
  const metrics = reported.length ? reported.map(({ name }) => name) : ['loss'];
  return { viewer, dataset, record, values, tasks: tasks.nodes, metrics };
}

function answer({ type, settings }: Question, record?: Record_): unknown {
  const options = (settings.options ?? settings.labels ?? []).map(({ value }) => value);
  switch (type) {
    case 'TEXT':
      return 'In my own words.';
    case 'RATING':
      return settings.min;
    case 'LABEL':
      return options[0];
    case 'MULTI_LABEL':
      return options.slice(0, 1);
    case 'RANKING':
      return options.map((value, index) => ({ value, rank: index + 1 }));
    case 'SPAN':
      return [{ label: options[0], start: 0, end: firstWord(record?.fields[settings.field ?? '']) }];
  }
}

/** Where it ends, in code points. */
function firstWord(text: unknown): number {
  const word = /^\S+/u.exec(typeof text === 'string' ? text : '')?.[0] ?? ' ';
  return [...word].length;
}
