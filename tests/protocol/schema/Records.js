// A page of records as a React component asks for it: a fragment that is paginated and can be fetched again.
import { graphql } from 'relay-runtime'

export const fragment = graphql`
  fragment Records_dataset on Dataset
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" }, where: { type: "RecordWhere" })
  @refetchable(queryName: "RecordsPaginationQuery") {
    name
    records(first: $count, after: $cursor, where: $where) @connection(key: "Records_records") {
      edges {
        node {
          id
          status
        }
      }
    }
  }
`

export const query = graphql`
  query RecordsQuery($dataset: ID!) {
    dataset(id: $dataset) {
      ...Records_dataset
    }
  }
`
