/** The pages and their addresses. Each page is loaded when it is first opened. */

import { createRouter, createWebHistory, type RouteLocationNormalized } from 'vue-router'
import { whenSignedOut } from './api/client'
import { forget, signedIn } from './api/session'

declare module 'vue-router' {
  interface RouteMeta {
    /** Key of the page's title. */
    title: string
    /** Shown without the frame, and without signing in. */
    open?: boolean
    /** The entry of the sidebar that this page belongs to, when it is not its own. */
    within?: string
  }
}

export const router = createRouter({
  history: createWebHistory(),
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
  routes: [
    { path: '/', redirect: '/tasks' },
    { path: '/sign-in', name: 'signIn', component: () => import('./pages/SignIn.vue'), meta: { title: 'signIn.title', open: true } },
    { path: '/tasks', name: 'tasks', component: () => import('./pages/tasks/TaskList.vue'), meta: { title: 'nav.tasks' } },
    { path: '/tasks/new', name: 'create', component: () => import('./pages/create/CreateTask.vue'), meta: { title: 'nav.create', within: 'tasks' } },
    { path: '/tasks/:id(\\d+)', name: 'detail', component: () => import('./pages/detail/TaskDetail.vue'), props: idProp, meta: { title: 'nav.detail', within: 'tasks' } },
    { path: '/tasks/:id(\\d+)/log', name: 'log', component: () => import('./pages/log/TaskLog.vue'), props: idProp, meta: { title: 'nav.log', within: 'tasks' } },
    { path: '/compare', name: 'compare', component: () => import('./pages/compare/CompareTasks.vue'), meta: { title: 'nav.compare' } },
    { path: '/machine', name: 'machine', component: () => import('./pages/machine/MachinePage.vue'), meta: { title: 'nav.machine' } },
    { path: '/help', name: 'help', component: () => import('./pages/help/HelpPage.vue'), meta: { title: 'nav.help' } },
    { path: '/:rest(.*)*', name: 'nowhere', component: () => import('./frame/NotFound.vue'), meta: { title: 'common.notFound' } },
  ],
})

function idProp(route: RouteLocationNormalized): { id: number } {
  return { id: Number(route.params.id) }
}

router.beforeEach(async (to) => {
  if (to.meta.open) return true
  try {
    if (await signedIn()) return true
  } catch {
    // The server is away: the page says so itself, and goes on when it is back.
    return true
  }
  return { name: 'signIn', query: { next: to.fullPath } }
})

whenSignedOut(() => {
  forget()
  const here = router.currentRoute.value
  if (here.matched.length && !here.meta.open) void router.replace({ name: 'signIn', query: { next: here.fullPath } })
})
