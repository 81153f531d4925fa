/** Loads every instruction declaration; importing this fills INSTRUCTIONS. One line per file, integer first. */
import './arithmetic.ts';
