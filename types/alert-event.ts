/** What `npx pgquota alerts` delivers: the body of each request, once its signature is verified. */
import type { UsageAlert } from './client.ts';

export interface UsageAlertEvent<Feature extends string = string> {
  type: 'usage.alert';
  /** When the threshold was crossed. */
  timestamp: string;
  data: Pick<
    UsageAlert<Feature>,
    'subject' | 'feature' | 'period' | 'period_start' | 'threshold' | 'used' | 'limit'
  > & {
    /** The member whose own cap it is, within what the subject has; left out where it is none. */
    member?: string;
  };
}
