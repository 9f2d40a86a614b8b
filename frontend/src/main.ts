import 'element-plus/theme-chalk/base.css'
import 'element-plus/theme-chalk/dark/css-vars.css'
import './style/theme.css'
import './style/base.css'
import './theme'
import { createApp } from 'vue'
import App from './App.vue'
import { i18n, language, setLanguage } from './i18n'
import { router } from './router'

await setLanguage(language.value)
createApp(App).use(i18n).use(router).mount('#app')
