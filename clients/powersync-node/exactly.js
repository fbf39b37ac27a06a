// What a statement begins with whose integers the worker answers as BigInt.

export const EXACTLY = "/* exactly */ ";
