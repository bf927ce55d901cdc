import type { Review } from '@flotilla/shared';

import { showWhen } from '../format.ts';
import type { View } from '../view.ts';

export const reviewView: View<Review> = {
  plural: 'reviews',
  name: (review) => String(review.id),
  columns: [
    { head: 'VERDICT', cell: (review) => review.verdict },
    { head: 'ATTEMPT', cell: (review) => (review.attempt === null ? '-' : String(review.attempt)) },
    { head: 'REVIEWER', cell: (review) => review.reviewer },
    { head: 'AGE', cell: (review, now) => showWhen(review.created_at, now) },
    { head: 'FEEDBACK', cell: (review) => review.feedback ?? '-' },
  ],
};
