/** Kept equal to package.json by the release; shown in status, OpenAPI and logs. */
export const VERSION = '0.1.0';
