/** A table of TanStack's: its columns say what is in a cell, this says how it looks and pages. */
import { type ColumnDef, type RowData, tableFeatures, useTable } from '@tanstack/react-table';
import type { ReactNode } from 'react';

const features = tableFeatures({});

// biome-ignore lint/suspicious/noExplicitAny: a cell may hold anything
export type Column<Row extends RowData> = ColumnDef<typeof features, Row, any>;

export interface Sort {
  by: string;
  /** Columns that can be sorted by, and the name that the server has for it. */
  columns: Record<string, string>;
  onSort: (by: string) => void;
}

export function DataTable<Row extends RowData>(props: {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  idOf: (row: Row) => string;
  sort?: Sort;
  empty?: ReactNode;
  classOf?: (row: Row) => string | undefined;
}) {
  const { columns, rows, idOf, sort } = props;
  const table = useTable({ features, columns, data: rows, getRowId: idOf });
  if (rows.length === 0 && props.empty) return <p className="empty">{props.empty}</p>;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a box of its own
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways on a phone, also by keys
    <div className="scroll" tabIndex={0} role="group" aria-label={props.label}>
      <table>
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id}>
              {group.headers.map((header) => {
                const by = sort?.columns[header.column.id];
                const isSorted = by !== undefined && by === sort?.by;
                return (
                  <th
                    key={header.id}
                    scope="col"
                    className={`c-${header.column.id}`}
                    aria-sort={
                      isSorted ? (by === 'subject' ? 'ascending' : 'descending') : undefined
                    }
                  >
                    {by === undefined ? (
                      <table.FlexRender header={header} />
                    ) : (
                      <button type="button" className="sort" onClick={() => sort?.onSort(by)}>
                        <table.FlexRender header={header} />
                        <span aria-hidden>
                          {isSorted ? (by === 'subject' || by === 'resets' ? '↑' : '↓') : ''}
                        </span>
                      </button>
                    )}
                  </th>
                );
              })}
            </tr>
          ))}
        </thead>
        <tbody>
          {table.getRowModel().rows.map((row) => (
            <tr key={row.id} className={props.classOf?.(row.original)}>
              {row.getAllCells().map((cell) => (
                <td key={cell.id} className={`c-${cell.column.id}`}>
                  <table.FlexRender cell={cell} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Pages are asked for one after the other, each from where the last one ended. */
export function More(props: {
  hasMore: boolean;
  isLoading: boolean;
  onMore: () => void;
  shown: number;
}) {
  return (
    <div className="more">
      <span className="quiet">{props.shown} shown</span>
      {props.hasMore && (
        <button type="button" className="small" disabled={props.isLoading} onClick={props.onMore}>
          {props.isLoading ? 'One moment…' : 'Show more'}
        </button>
      )}
    </div>
  );
}
