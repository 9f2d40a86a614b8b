/** What the open page is called in the browser's tab, e.g. a task's name; PageHeader sets it. */

import { ref } from 'vue'

export const pageName = ref('')
