/** Telephone numbers as Twilio and others write them. */

export const WITHHELD = 'Number withheld';

const NO_NUMBERS: ReadonlySet<string> = new Set([
  'anonymous',
  'blocked',
  'restricted',
  'unavailable',
  'unknown',
  // The same, as keys of a telephone.
  '+266696687',
  '+2562533',
  '+7378742833',
  '+86282452253',
  '+8656696',
]);

/** Whether it stands for a number that was not told. */
export const isWithheld = (number: string) => NO_NUMBERS.has(number.toLowerCase());
