export interface FormatOptions {
  signed?: boolean;
  bits?: boolean;
  binary?: boolean;
  locale?: boolean | string | string[];
  minimumFractionDigits?: number;
  maximumFractionDigits?: number;
}
export declare function format(num: number, options?: FormatOptions): string;
