/** A question of an earlier attempt, and what people said to it. */
export type Answered = { question: string; answers: string[] };

/** Line by line, so that it cannot be taken for the task. */
const quote = (text: string): string => `> ${text.replaceAll('\n', '\n> ')}`;

/**
 * What the executor reads: fixed when the task is claimed, so that later edits never change a running attempt. Answers of
 * people, and the feedback of a rejected review, are quoted.
 */
export const renderPrompt = (task: {
  title: string;
  description: string;
  feedback: string | null;
  answers: Answered[] | null;
}): string => {
  const parts = [task.title, ...(task.description === '' ? [] : [task.description])];
  for (const { question, answers } of task.answers ?? [])
    parts.push(
      `An earlier attempt asked a person:\n\n${quote(question)}`,
      `The answer was:\n\n${answers.map(quote).join('\n\n')}`,
    );
  if (task.feedback !== null)
    parts.push(`The last result was rejected in review, for this reason:\n\n${quote(task.feedback)}`);
  return parts.join('\n\n');
};
