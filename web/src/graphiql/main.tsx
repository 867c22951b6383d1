import './workers';
import 'graphiql/graphiql.css';
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import './graphiql.css';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';
import { Account, SignedOut } from './account';
import { readBook, type Book } from './book';
import { exampleTabs, refreshTabs } from './examples';
import { makeFetcher } from './fetcher';

function Page({ book }: { book: Book }) {
  const examples = exampleTabs(book);
  const first = refreshTabs(examples);
  return (
    <>
      {book.viewer ? null : <SignedOut />}
      <GraphiQL
        fetcher={makeFetcher()}
        defaultTabs={examples}
        initialQuery={first.query}
        initialVariables={first.variables}
        shouldPersistHeaders={false}
        showPersistHeadersSettings={false}
        defaultEditorToolsVisibility={book.viewer ? 'variables' : 'headers'}
      >
        <GraphiQL.Logo>{book.viewer ? <Account viewer={book.viewer} /> : null}</GraphiQL.Logo>
      </GraphiQL>
    </>
  );
}

const root = createRoot(document.querySelector('#page')!);
readBook().then(
  (book) => root.render(<Page book={book} />),
  (error: Error) => root.render(<p className="gradbook-failure">{error.message} Reload the page to try again.</p>),
);
