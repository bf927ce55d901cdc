/**
 * Texts and queries alike before Postgres splits them: its own lower-casing knows ASCII alone where the database has the
 * locale C, as the bundled one does. A cut in the middle of a character must not reach it either.
 */
export const foldCase = (text: string): string => text.normalize('NFC').toLowerCase().toWellFormed();
