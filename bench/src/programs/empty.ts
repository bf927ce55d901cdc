// A Node process that does nothing: what idling costs before any code of ours.
setInterval(() => {}, 60_000);
process.once('disconnect', () => process.exit());
process.send?.('ready');
