/**
 * What the executor reads: fixed when the task is claimed, so that later edits never change a running attempt. Feedback of
 * a rejected review is quoted line by line, so that it cannot be taken for the task.
 */
export const renderPrompt = (task: { title: string; description: string; feedback: string | null }): string => {
  const parts = [task.title, ...(task.description === '' ? [] : [task.description])];
  if (task.feedback !== null)
    parts.push(
      `The last result was rejected in review, for this reason:\n\n> ${task.feedback.replaceAll('\n', '\n> ')}`,
    );
  return parts.join('\n\n');
};
