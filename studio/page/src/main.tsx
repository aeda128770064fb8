import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { takeKey } from './api.ts';
import { applyTheme } from './theme.ts';
import 'uplot/dist/uPlot.min.css';
import 'pgquota/react/styles.css';
import './style.css';

takeKey();
applyTheme();

const client = new QueryClient({
  // A refusal is an answer: asking again does not change it.
  defaultOptions: { queries: { retry: false, staleTime: 2_000 }, mutations: { retry: false } },
});

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
