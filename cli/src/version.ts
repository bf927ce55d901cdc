/** Kept equal to package.json by a test: reading a file at every start would cost more than this line. */
export const version = '0.1.0';
