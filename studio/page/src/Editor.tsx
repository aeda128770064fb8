/**
 * The plan document in CodeMirror: keys and values completed from the schema that editors use, faults at their
 * line from the server, which judges as `npx pgquota plans` does, and what differs from what holds.
 */
import {
  autocompletion,
  type CompletionContext,
  type CompletionResult,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import {
  bracketMatching,
  foldGutter,
  foldKeymap,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
} from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint';
import { unifiedMergeView } from '@codemirror/merge';
import { search, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
  tooltips,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';
import { CompletionItemKind, getLanguageService } from 'vscode-json-languageservice';
import { TextDocument } from 'vscode-languageserver-textdocument';
import schema from '../../../schema/plans.schema.json';
import type { Fault } from '../../server/shapes.ts';

const service = getLanguageService({});
service.configure({
  schemas: [{ uri: schema.$id, fileMatch: ['*'], schema: schema as never }],
  validate: false,
});

async function complete(context: CompletionContext): Promise<CompletionResult | null> {
  const document = TextDocument.create('plans.json', 'json', 1, context.state.doc.toString());
  const found = await service.doComplete(
    document,
    document.positionAt(context.pos),
    service.parseJSONDocument(document),
  );
  if (!found || found.items.length === 0) return null;
  // What is typed of it, without the quote: labels have none.
  const word = context.matchBefore(/"[\w$-]*$|[\w$-]+$/);
  if (!context.explicit && !word) return null;
  return {
    from: word ? word.from + (word.text.startsWith('"') ? 1 : 0) : context.pos,
    options: found.items.map((item) => {
      const edit = item.textEdit && 'range' in item.textEdit ? item.textEdit : undefined;
      const from = edit ? document.offsetAt(edit.range.start) : context.pos;
      const to = edit ? document.offsetAt(edit.range.end) : context.pos;
      // A snippet's places are for editors that jump between them; here they are what stands there.
      const insert = (edit?.newText ?? item.insertText ?? item.label)
        .replaceAll(/\$\{\d+:([^}]*)\}/g, '$1')
        .replaceAll(/\$\{?\d+\}?/g, '')
        .replaceAll('\\$', '$');
      const said = item.documentation;
      return {
        label: item.label,
        type: item.kind === CompletionItemKind.Property ? 'property' : 'constant',
        ...(said ? { info: typeof said === 'string' ? said : said.value } : {}),
        apply: (view: EditorView) =>
          view.dispatch({
            changes: { from, to: Math.max(to, context.pos), insert },
            selection: { anchor: from + insert.length },
            userEvent: 'input.complete',
          }),
      };
    }),
    filter: true,
  };
}

const colours = syntaxHighlighting(
  HighlightStyle.define([
    { tag: tags.propertyName, color: 'var(--code-key)' },
    { tag: tags.string, color: 'var(--code-text)' },
    { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-value)' },
    { tag: tags.invalid, color: 'var(--bad)' },
  ]),
);

const look = EditorView.theme({
  '&': { fontSize: '13px', height: '100%', color: 'var(--text)', backgroundColor: 'var(--card)' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-gutters': { backgroundColor: 'var(--card)', color: 'var(--quiet)', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--hover)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--selection) !important',
  },
  '.cm-tooltip': {
    backgroundColor: 'var(--card)',
    color: 'var(--text)',
    border: '1px solid var(--line)',
    maxWidth: '34rem',
  },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': {
    backgroundColor: 'var(--accent)',
    color: 'var(--on-accent)',
  },
  '.cm-panels': { backgroundColor: 'var(--page)', color: 'var(--text)' },
  '.cm-changedLine, .cm-insertedLine': { backgroundColor: 'var(--added) !important' },
  '.cm-changedText': { background: 'var(--added-text) !important' },
  '.cm-deletedChunk': { backgroundColor: 'var(--removed)', paddingLeft: '6px' },
  '.cm-deletedChunk .cm-deletedText': { background: 'var(--removed-text)' },
});

const nonce = document.querySelector<HTMLMetaElement>('meta[name=style-nonce]')?.content ?? '';

export function Editor(props: {
  text: string;
  original: string;
  showsDiff: boolean;
  isReadOnly: boolean;
  faults: Fault[];
  onChange: (text: string) => void;
}) {
  const { text, original, showsDiff, isReadOnly, faults, onChange } = props;
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const diff = useRef(new Compartment());
  const changed = useRef(onChange);
  changed.current = onChange;

  // biome-ignore lint/correctness/useExhaustiveDependencies: made once; what changes is handed to it below
  useEffect(() => {
    const editor = new EditorView({
      parent: place.current as HTMLDivElement,
      state: EditorState.create({
        doc: text,
        extensions: [
          EditorView.cspNonce.of(nonce),
          lineNumbers(),
          foldGutter(),
          lintGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          search({ top: true }),
          json(),
          colours,
          look,
          // In the page, which has the theme; clear of what scrolls.
          tooltips({ parent: document.body }),
          autocompletion({ override: [complete] }),
          EditorState.readOnly.of(isReadOnly),
          // The tabindex is there without saying so; who checks for it does not see that.
          EditorView.contentAttributes.of({ 'aria-label': 'Plan document', tabindex: '0' }),
          keymap.of([
            ...closeBracketsKeymap,
            ...completionKeymap,
            ...lintKeymap,
            ...searchKeymap,
            ...historyKeymap,
            ...foldKeymap,
            ...defaultKeymap,
            // Escape, then Tab leaves the editor.
            indentWithTab,
          ]),
          diff.current.of([]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed.current(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    return () => editor.destroy();
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (!editor || editor.state.doc.toString() === text) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
  }, [text]);

  useEffect(() => {
    view.current?.dispatch({
      effects: diff.current.reconfigure(
        showsDiff ? unifiedMergeView({ original, mergeControls: false, gutter: true }) : [],
      ),
    });
  }, [showsDiff, original]);

  useEffect(() => {
    const editor = view.current;
    if (!editor) return;
    const end = editor.state.doc.length;
    editor.dispatch(
      setDiagnostics(
        editor.state,
        faults.map(({ from, to, message }) => {
          const start = Math.min(from ?? 0, end);
          return {
            from: start,
            to: Math.max(start, Math.min(to ?? end, end)),
            severity: 'error',
            message,
          };
        }),
      ),
    );
  }, [faults]);

  return <div ref={place} className="editor" />;
}
