import { type Refused, useUsage } from 'pgquota/react';
import { type FormEvent, useState } from 'react';
import type { Session } from './api.ts';
import { useQuery } from './use-query.ts';

interface FilesProps {
  session: Session;
  onRefuse(refused: Refused): void;
}

interface File {
  id: number;
  name: string;
}

/** A plain table of the app. Its limit is in the database, so this code need not know of it. */
export function Files({ session: { supabase, user }, onRefuse }: FilesProps) {
  const [status, setStatus] = useState('');
  const { refresh } = useUsage();
  const files = useQuery<File>(() => supabase.from('kb_files').select('id,name').order('id'), user);
  const changed = () => {
    files.refresh();
    refresh();
  };

  async function add(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const name = String(new FormData(form).get('name')).trim();
    const { error } = await supabase.from('kb_files').insert({ name });
    if (!error) {
      form.reset();
      setStatus(`${name} was added.`);
    } else if (error.code === 'PT402') {
      setStatus(`${name} was not added: the database refused the row.`);
      onRefuse({ feature: 'kb_file', amount: 1 });
    } else setStatus(`${name} was not added: ${error.message}`);
    changed();
  }

  async function remove({ id, name }: File) {
    const { error } = await supabase.from('kb_files').delete().eq('id', id);
    setStatus(error ? `${name} is still there: ${error.message}` : `${name} was deleted.`);
    changed();
  }

  return (
    <section className="card" aria-labelledby="files">
      <div className="card-head">
        <h2 id="files">Knowledge base</h2>
      </div>
      <form className="add" onSubmit={add}>
        <label className="hidden" htmlFor="name">
          Name of the file
        </label>
        <input id="name" name="name" required maxLength={200} placeholder="handbook.pdf" />
        <button type="submit">Add file</button>
      </form>
      <ul className="files" aria-label="Files">
        {files.rows?.map((file) => (
          <li key={file.id}>
            <span>{file.name}</span>
            <button
              type="button"
              className="plain"
              aria-label={`Delete ${file.name}`}
              onClick={() => remove(file)}
            >
              Delete
            </button>
          </li>
        ))}
        {files.rows?.length === 0 && <li className="empty">No files yet.</li>}
      </ul>
      <p className="status" role="status">
        {files.failed ? 'The files cannot be shown at the moment.' : status}
      </p>
    </section>
  );
}
