/** The workspace that `ensureFirstWorkspace` makes: its people run the installation. */
export const FIRST_WORKSPACE = 1;
