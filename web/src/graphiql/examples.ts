// The operations that wait in tabs, with variables that fit what the viewer sees.
import type { Book } from './book';
import datasets from './examples/1-datasets.graphql?raw';
import searchEnglish from './examples/2-search-english.graphql?raw';
import searchChinese from './examples/3-search-chinese.graphql?raw';
import nextRecords from './examples/4-next-records.graphql?raw';
import submitResponse from './examples/5-submit-response.graphql?raw';
import recordChanged from './examples/6-record-changed.graphql?raw';
import trainTasks from './examples/7-train-tasks.graphql?raw';
import curves from './examples/8-curves.graphql?raw';
import trainProgress from './examples/9-train-progress.graphql?raw';

/** A tab: an operation, and its variables as JSON. */
export interface Example {
  query: string;
  variables: string;
}

type Variables = (book: Book) => Record<string, unknown>;

const NO_DATASET = 'dst_…';
const NO_RECORD = 'rec_…';
const NO_TASK = 'tsk_…';

const EXAMPLES: [query: string, variables: Variables][] = [
  [datasets, () => ({ records: 3 })],
  [searchEnglish, () => ({ words: 'peace war' })],
  [searchChinese, () => ({ words: '天下' })],
  [nextRecords, ({ dataset }) => ({ input: { datasetId: dataset?.id ?? NO_DATASET, first: 3 } })],
  [submitResponse, ({ record, values }) => ({ input: { recordId: record?.id ?? NO_RECORD, values } })],
  [recordChanged, ({ dataset }) => ({ dataset: dataset?.id ?? NO_DATASET })],
  [trainTasks, () => ({ where: null })],
  [curves, ({ tasks, metrics }) => ({ tasks: some(tasks.map(({ id }) => id)), metrics, maxPoints: 50 })],
  [trainProgress, ({ tasks }) => ({ task: tasks[0]?.id ?? NO_TASK })],
];

function some(ids: string[]): string[] {
  return ids.length ? ids : [NO_TASK];
}

const TABS = 'graphiql:tabState'; // where GraphiQL keeps its tabs
const FILLED = 'gradbook:examples'; // the variables as this page filled them in

interface Kept {
  activeTabIndex: number;
  tabs: { query: string | null; variables: string | null }[];
}

export function exampleTabs(book: Book): Example[] {
  return EXAMPLES.map(([query, variables]) => ({ query, variables: JSON.stringify(variables(book), null, 2) }));
}

/**
 * GraphiQL keeps its tabs for ever: examples that nobody touched get the variables of today. Returns the tab to begin
 * with, which GraphiQL wants to be told.
 */
export function refreshTabs(examples: Example[]): Example {
  const filled = read<Record<string, string>>(FILLED) ?? {};
  const kept = read<Kept>(TABS);
  for (const tab of kept?.tabs ?? []) {
    const example = examples.find(({ query }) => query === tab.query);
    if (example && tab.variables === filled[example.query]) tab.variables = example.variables;
  }
  if (kept) localStorage.setItem(TABS, JSON.stringify(kept));
  localStorage.setItem(FILLED, JSON.stringify(Object.fromEntries(examples.map((one) => [one.query, one.variables]))));
  const active = kept?.tabs[kept.activeTabIndex] ?? examples[0];
  return { query: active?.query ?? '', variables: active?.variables ?? '' };
}

function read<T>(key: string): T | undefined {
  try {
    return (JSON.parse(localStorage.getItem(key) ?? 'null') as T | null) ?? undefined;
  } catch {
    return undefined;
  }
}
