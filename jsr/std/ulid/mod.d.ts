export declare function ulid(seedTime?: number): string;
export declare function monotonicUlid(seedTime?: number): string;
export declare function decodeTime(ulid: string): number;
