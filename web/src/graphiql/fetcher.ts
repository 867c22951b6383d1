import { createGraphiQLFetcher, type Fetcher, type FetcherOpts, type FetcherParams } from '@graphiql/toolkit';
import { Kind, parse, type DocumentNode } from 'graphql';
import { createClient } from 'graphql-ws';

export const ENDPOINT = '/graphql';

// What fails before execution then comes with status 200, which the browser does not log as an error of the page.
const ACCEPT = { accept: 'application/json' };

/** Queries and mutations by POST, subscriptions by graphql-transport-ws; both with the cookie and the headers typed. */
export function makeFetcher(): Fetcher {
  let headers: Record<string, unknown> = {};
  const address = new URL(ENDPOINT, location.href);
  address.protocol = address.protocol.replace('http', 'ws');
  const wsClient = createClient({
    url: address.href,
    retryAttempts: 0, // whoever explores sees that the stream ended, and runs it again
    connectionParams: () => headers, // a browser cannot set headers on a socket
  });
  const fetcher = createGraphiQLFetcher({ url: ENDPOINT, wsClient, headers: ACCEPT });
  return (operation, options) => {
    headers = options?.headers ?? {};
    return fetcher(...asWritten(operation, options));
  };
}

/**
 * GraphiQL looks some moments late at what the editor holds: whoever runs right after changing to another tab would run
 * that text under the operation name, and by the transport, of the tab before.
 */
function asWritten(operation: FetcherParams, options?: FetcherOpts): [FetcherParams, FetcherOpts?] {
  let documentAST: DocumentNode;
  try {
    documentAST = parse(operation.query);
  } catch {
    return [operation, options]; // the server says what is wrong with it
  }
  const operations = documentAST.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const names = operations.map((one) => ('name' in one ? one.name?.value : undefined));
  const known = names.includes(operation.operationName ?? undefined);
  const operationName = known ? operation.operationName : names.length === 1 ? names[0] : undefined;
  return [{ ...operation, operationName }, { ...options, documentAST }];
}

/** The data of a query, with the cookie alone. Raises an Error with the first message when there is none. */
export async function ask<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
  const answer = await fetch(ENDPOINT, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ACCEPT },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await answer.json()) as { data?: T; errors?: { message: string }[] };
  if (!data) throw new Error(errors?.[0]?.message ?? `The server answered ${answer.status}.`);
  return data;
}
