export * from './at-rest.js';
