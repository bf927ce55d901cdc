/** What the executor reads: fixed when the task is claimed, so that later edits never change a running attempt. */
export const renderPrompt = (task: { title: string; description: string }): string =>
  task.description === '' ? task.title : `${task.title}\n\n${task.description}`;
